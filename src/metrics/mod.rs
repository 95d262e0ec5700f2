//! How good predictions are, by the names and conventions of scikit-learn.
