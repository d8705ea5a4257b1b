"""Run file -> search."""
