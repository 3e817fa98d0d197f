"""Windows, permutation tests, drift verdicts and Evidently's weekly report."""
