"""Reports for people: of an evaluation or a comparison, and of one study.

`evaluation.evaluation_contents` gathers what `page` makes one HTML file of. The report of a study:
`study.report_builder.report_of_prediction` or `study.from_disk.report_of_document` gather it,
`study.model_info` says what is known of the model, `study.formats.write_report` writes it as PDF and HTML.
"""
