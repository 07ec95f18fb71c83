"""What packed linears allocate: the tools' own code for CUDA, run with kernels that do nothing, beside what is said."""
