"""What is read of a frozen LMM while it computes: attention of chosen tokens to the image, and hidden states."""
