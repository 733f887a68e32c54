"""Properties of models that are certified before and after unlearning: one a file, found here."""
