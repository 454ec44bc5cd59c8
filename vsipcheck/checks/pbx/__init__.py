"""The customer's own PBX, asked and called as the trunk does."""
