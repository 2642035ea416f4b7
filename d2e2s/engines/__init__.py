"""Prediction on the engines that people have: Ray (extra `ray`) and Spark (extra `spark`)."""
