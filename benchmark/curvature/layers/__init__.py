"""The R-operator layer by layer: what each kind of layer adds to a pass and to a product."""
