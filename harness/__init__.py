"""What tests, benchmarks and acceptance runs share: services to run things on, meters, reports,
attack programs, corpora.

Imports none of the three, and none of it is installed with the package.
"""
