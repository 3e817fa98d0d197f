"""The prediction service: one process, every problem that has a champion.

The way of a request: ``connections`` (a socket), the stack's ``guard`` (host and origin),
``sign_in`` (who), ``body_limit`` (how much), ``routes`` (what), and then ``service``: ``vetting``
makes a frame of the upload, ``batching`` gathers frames for the model of ``served_models``,
``request_log`` writes the answer down, ``messages`` shapes it, and ``shadowing`` asks another model
afterwards. ``app`` puts them together, ``serve`` starts it.
"""
