"""What predictions were worth, counted: pass@k, and the benchmarks CRUXEval and LeetCode-O."""
