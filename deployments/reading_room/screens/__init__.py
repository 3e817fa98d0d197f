"""One file a page: ``show`` draws it for the person that its backend speaks for."""
