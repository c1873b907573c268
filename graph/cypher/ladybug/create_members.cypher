CREATE REL TABLE `{member}` (FROM `{item}` TO `{category}`)
