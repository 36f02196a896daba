"""Reports of an evaluation, a comparison or a single study.

`evaluation_report` collects the contents of an evaluation, and `report_page` writes them as one HTML file. For a study,
`study.report_builder.report_of_prediction` or `study.from_disk.report_of_document` collect the contents,
`study.model_info` describes the model, and `study.formats.write_report` writes PDF and HTML.
"""
