"""The reading room: pages where a person asks, checks, corrects and decides. In Streamlit.

``backend`` does all that pages ask for, in the name of the person signed in; ``words`` holds what
they say; ``screens`` has one file a page, ``parts`` what several of them show.
"""
