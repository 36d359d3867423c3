"""What is measured of a world and its policy, and how a metric is called."""
