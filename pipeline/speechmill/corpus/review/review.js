fetch("api/judgements")
