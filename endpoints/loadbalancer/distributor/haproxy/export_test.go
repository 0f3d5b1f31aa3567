package haproxy

// What reads HAProxy's answers, for tests of what it may answer.
var (
	ParseProcs      = parseProcs
	ParseServers    = parseServers
	ParseStats      = parseStats
	ParseSessionIDs = parseSessionIDs
	FrontAddress    = frontAddress
	HasClients      = hasClients
	HasTables       = hasTables
)
