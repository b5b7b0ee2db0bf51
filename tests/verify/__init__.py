"""Tests of verifying: comparators, extraction, feedback, verdicts, batches, and the corpus."""
