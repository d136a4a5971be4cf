//! Network namespaces, taps and guests for tests, demos and benches.
