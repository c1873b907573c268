CREATE REL TABLE `{parent}` (FROM `{category}` TO `{category}`)
