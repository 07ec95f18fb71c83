"""What the model is: typed layers that know their dimensions and their parameter counts."""
