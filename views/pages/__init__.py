"""The Streamlit pages, one a view."""
