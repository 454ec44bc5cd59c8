"""The figures that the project promises, measured and told as ratios beside their aims: `python -m bench`."""
