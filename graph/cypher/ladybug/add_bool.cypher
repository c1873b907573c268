ALTER TABLE `{label}` ADD `{property}` BOOL
