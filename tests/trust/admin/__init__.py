"""The administrators' side, as its trust rows look at it."""
