ALTER TABLE `{label}` ADD `{property}` DOUBLE
