"""What a frozen model needs besides products: its edges, its radial functions, its forces, and calls in a row."""
