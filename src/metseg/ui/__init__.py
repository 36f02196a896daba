"""The web page of the service. It calls the API over HTTP.

Logic is separate from drawing: modules that do not import ``streamlit`` contain plain functions; each of the others
draws one part of the page.
"""
