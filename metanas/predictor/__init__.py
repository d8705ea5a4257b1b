"""The meta-learned performance predictor."""
