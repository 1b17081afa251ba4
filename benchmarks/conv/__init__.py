"""A compute-bound candidate: three convolutions of 96 channels on a small grid."""
