"""What is known of a campaign: the numbers of one answer, calling hours, state over time, sums over an account."""
