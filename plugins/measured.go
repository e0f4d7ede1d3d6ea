package plugins

// The names that CPUUsage.Measured may hold.
const (
	MeasuredSystemMode       = "System Mode"
	MeasuredUserMode         = "User Mode"
	MeasuredTotalTicks       = "Total Ticks"
	MeasuredThrottledPeriods = "Throttled Periods"
	MeasuredThrottledTime    = "Throttled Time"
	MeasuredPercent          = "Percent"
)

// The names that MemoryUsage.Measured may hold.
const (
	MeasuredRSS            = "RSS"
	MeasuredCache          = "Cache"
	MeasuredMaxUsage       = "Max Usage"
	MeasuredKernelUsage    = "Kernel Usage"
	MeasuredKernelMaxUsage = "Kernel Max Usage"
	MeasuredUsage          = "Usage"
	MeasuredSwap           = "Swap"
)
