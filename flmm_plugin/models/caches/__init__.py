"""What frozen parts compute, kept between epochs."""
