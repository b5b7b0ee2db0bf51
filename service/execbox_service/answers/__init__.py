"""Reading what a model wrote: finding the answer in a text, and Python literals. Runs nothing."""
