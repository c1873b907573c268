"""Profile values: what a user says of themselves, as words of a vocabulary."""

from __future__ import annotations


def profile_values(field: str, value: object) -> tuple[str, ...]:
    """The words ``"field=value"`` of one profile field.

    Args:
        field: The field's name.
        value: A plain value, or a list of them; None, a blank text and NaN say nothing.
    """
    if isinstance(value, list | tuple):
        return tuple(word for each in value for word in profile_values(field, each))
    text = "" if value is None or value != value else str(value).strip()
    return (f"{field}={text}",) if text else ()
