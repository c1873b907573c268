COPY `{table}` FROM $rows
