"""Lets the contract classes' plain asserts explain themselves, like those of test modules."""

import pytest

pytest.register_assert_rewrite("contracts.graph_store")
