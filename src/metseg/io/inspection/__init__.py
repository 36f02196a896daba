"""What a data set holds, before anybody trains on it."""
