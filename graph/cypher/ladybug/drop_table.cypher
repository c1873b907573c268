DROP TABLE `{table}`
