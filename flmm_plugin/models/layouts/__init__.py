"""Where an image's tokens look: measured from the processor, and certified on the model."""
