"""Drafts whose net was hardly trained, for tests of what is made of them."""

from __future__ import annotations

from firstedge.models.assemble import Draft, Learned
from firstedge.models.closed_forms import NaiveBayes
from firstedge.models.evidence import EvidenceChoice, build_evidence
from firstedge.models.fit import FitOptions
from firstedge.models.net import NetOptions
from firstedge.models.train import Learner, TrainOptions

OPTIONS = TrainOptions(net=NetOptions(dim=8), fit=FitOptions(epochs=1, device="cpu"), ks=(0, 1, 3))


def draft_of(learner: Learner) -> Draft:
    """With naive Bayes edges and walks."""
    graph = learner.graph()
    learned = Learned.of_net(learner.fit_net(graph).net, graph)
    choice = EvidenceChoice(NaiveBayes(), (0.5, 0.3), None, 1000)
    return learner.draft(learned, build_evidence(learner.data, choice))
