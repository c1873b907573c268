ALTER TABLE `{label}` ADD `{property}` STRING
