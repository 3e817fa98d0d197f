"""From a source to rows on a branch, and from the branch to a release."""
