"""Contract suites for those who add a part of their own, and the fakes that they need.

``engine_contract`` holds the suite for engines (it imports pytest), ``evaluators`` an evaluator that does what its
jobs tell it, ``samples`` the shape of a small sample of each input, ``damage`` how files are damaged for fuzzing.
"""
