"""The steps from functions to training records, and what runs any one of them over a file."""
