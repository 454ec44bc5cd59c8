"""Whole runs of the installed command in network namespaces with real peers. `README.md` has the drawing."""

from lab.laboratory import Lab, Node, obstacle
from lab.scenario import Answerer, Kamailio, Resolver, Rule, Scenario

__all__ = ["Answerer", "Kamailio", "Lab", "Node", "Resolver", "Rule", "Scenario", "obstacle"]
