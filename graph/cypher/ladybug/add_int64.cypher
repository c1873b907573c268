ALTER TABLE `{label}` ADD `{property}` INT64
