from litejobs.cli import main

main()
