package magpie

// FormatList and ParseList are formatList and parseList.
var (
	FormatList = formatList
	ParseList  = parseList
)
