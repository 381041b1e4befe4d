"""Bytes to outside parties: acquirers and 3DS directories. One seam, told apart by what is known when it fails."""
