"""Reports for people: of an evaluation or a comparison, and of one study.

`evaluation.evaluation_contents` gathers what `page` makes one HTML file of. The report of a study:
`study_make.report_of_prediction` or `study_disk.report_of_document` gather it, `study_model` says what is known of the
model, `study_write.write_report` writes it as PDF and HTML.
"""
